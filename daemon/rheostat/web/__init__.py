"""What every HTTP side of the daemon has in common: listening, and what a request presents.

Here an application gets its address, and a request becomes what the door judges. What is served is
for the rooms above. May ask `rheostat.door` and `rheostat.errors`.
"""
