"""`python install.pyz`."""

from installer.host.cli import main

if __name__ == "__main__":
    main()
