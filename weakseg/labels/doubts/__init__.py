"""What looks wrong of labels: of an import, a store, and between labels; a line each."""
