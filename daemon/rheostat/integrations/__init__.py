"""Callbacks by which other people's training loops become runs that can be steered.

One file for each library, which imports that library and is imported by nobody else: none of them
is a dependency of Rheostat.
"""
