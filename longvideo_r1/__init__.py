"""Everything of the format that LongVideo-R1 released: tagged protocol, score, caption files, SFT and RL rows."""
