"""``python -m braidmq`` is ``braidmq``."""

from braidmq.cli import main

if __name__ == "__main__":
    main()
