"""`python -m jobs.answer CONFIG [key=value ...]`: an answer to each question about its image."""

from jobs.commands.batch import main

if __name__ == "__main__":
    main("answer")
