"""How a net is: what its brokers tell, taken together, and what is wrong there. Reports in, findings out.

All is pure but for looking.py and trial.py, which ask a node, and web/, which shows it over HTTP.
"""
