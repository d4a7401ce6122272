"""Where images come from: prepared sets, their cache, a bundle, stand-ins."""
