"""How the outside reaches the town: routes, access, live stream, jobs, command line. No SQL."""
