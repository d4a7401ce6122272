"""How a network is written down: the words for its nonlinearities, and which numbers equation (1) takes."""
