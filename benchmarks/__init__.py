"""How fast: each row of the table runs ours, a floor in C or BLAS, and the peers, in turns. See README.md."""
