"""What looks wrong of masks, photographs, lists and splits: a line each, and the data are used."""
