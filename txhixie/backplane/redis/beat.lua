-- Renews the lease of a node, and finds leases that ended.
--
-- KEYS: leases with their ends; ended leases, and from when on somebody may take care of each; when
--     the last lease was renewed.
-- ARGV: the lease; how long it lasts; how long nobody has to be heard for Redis itself to be the
--     cause; how long a node may take for an ended lease. All in seconds.
--
-- Returns whether the lease is new, and the ended leases that the caller is to take care of.
local leases, ended, last = KEYS[1], KEYS[2], KEYS[3]
local lease, lifetime, quiet, care = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000

if now - tonumber(redis.call('GET', last) or '0') > quiet then
    -- Nobody could renew a lease. So it says nothing that the others did not.
    for _, name in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
        redis.call('ZADD', leases, string.format('%.3f', now + lifetime), name)
    end
end
redis.call('SET', last, string.format('%.3f', now))
local isNew = redis.call('ZADD', leases, string.format('%.3f', now + lifetime), lease)
for _, name in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', string.format('%.3f', now))) do
    redis.call('ZREM', leases, name)
    redis.call('ZADD', ended, 0, name)
end
local found = redis.call('ZRANGEBYSCORE', ended, '-inf', string.format('%.3f', now))
for _, name in ipairs(found) do
    redis.call('ZADD', ended, string.format('%.3f', now + care), name)
end
return {isNew, found}
