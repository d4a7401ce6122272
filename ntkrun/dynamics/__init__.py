"""How the network and its rivals move from theta0: one protocol, several engines."""
