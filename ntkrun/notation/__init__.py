"""How a network is written down: the words for its nonlinearities."""
