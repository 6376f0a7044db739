"""A model of Route 53: what its health checkers find, which record it answers with, and how long clients keep that.

AWS's API holds health checks and records. This model probes and answers as Route 53 does by the rules that AWS
publishes, in virtual time: seconds as floats, no sleeping. The caller makes the probe: a real HTTP call in a drill, a
pure function in `recovery_time`.

The model leaves out the time that a new status takes to reach Route 53's aggregators and all of its DNS servers, for
which AWS publishes no number. It also leaves out networks that differ from checker to checker, resolvers and clients
that ignore the TTL, and the health of API Gateway itself, by which an alias record can fail before its health check.
"""
