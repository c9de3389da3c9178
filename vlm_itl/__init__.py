"""Active learning with a vision-language model in the loop."""
