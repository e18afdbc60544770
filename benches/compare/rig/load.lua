-- The pace of wrk, and what it counted as one line of JSON; latencies are in microseconds.
local think = tonumber(os.getenv("THINK_MS") or 0)

-- wrk asks for a delay before each request only where this function is there.
if think > 0 then
  delay = function() return math.random(0, 2 * think) end
end

done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "duration_us": %d, "bytes": %d, "refused": %d, "broken": %d, "p50_us": %d, "p99_us": %d, "p999_us": %d}\n',
    summary.requests, summary.duration, summary.bytes, e.status,
    e.connect + e.read + e.write + e.timeout, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9)))
end
