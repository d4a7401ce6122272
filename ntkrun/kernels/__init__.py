"""The kernels K (NNGP) and Theta (NTK): of infinitely wide networks, and of a given finite one."""
