"""From a traced graph to machine code; see README.md beside this file."""
