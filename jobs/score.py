"""`python -m jobs.score CONFIG [key=value ...]`: how well each text fits its image."""

from jobs.commands.batch import main

if __name__ == "__main__":
    main("score")
