"""The parts of scripts/soak. They share no code with the program."""
