"""`braidmq top`: the net in a terminal, live.

Keys go in (keys.py), and change what is shown (state.py) of a look at the net (pages.py, details.py); rich draws all of
it anew (picture.py), on a terminal that is given back whatever happens (terminal.py). A framework such as textual would
bring widgets, a driver of its own for terminal and signals, and ten more packages, for five tables and a dozen keys.
"""
