"""`python -m tests.fuzz SECONDS [--only NAME]`."""

from tests.fuzz.campaign import main

if __name__ == "__main__":
    main()
