"""
The command: C{python -m txhixie URL}.
"""

from txhixie.command.main import main

if __name__ == "__main__":
    main()
