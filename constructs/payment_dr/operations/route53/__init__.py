"""A model of Route 53: the verdict of its health checkers, the record it answers with, and how long clients cache that.

AWS's API holds health checks and records. This model probes and answers by the rules that AWS publishes for Route 53,
in virtual time: seconds as floats, no sleeping. The caller makes the probe: a real HTTP call in a drill, a pure
function in `recovery_time`.

The model leaves out the time that a new status takes to reach Route 53's aggregators and all of its DNS servers,
because AWS publishes no number for it. It also leaves out network differences between checkers, resolvers and clients
that ignore the TTL, and the health of API Gateway itself, which can fail an alias record before its health check.
"""
