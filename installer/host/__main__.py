"""`python install.pyz`."""

from installer.host.cli import forbid_dumps, main

if __name__ == "__main__":
    forbid_dumps()
    main()
