-- Adds what one node has gathered for one room, and tells the nodes that follow the room.
-- Everything happens at once, or nothing does.
--
-- KEYS: the room's stream, its state, its members, and what this node had added last.
-- ARGV: see below; then event, sender, text and key of each publication.
--
-- Returns the id of the first entry added, and a mark for each publication:
--   +  added, under the next id
--   -  nothing to add: an "open" of a member, or a "close" of somebody who is none
--   =  added before, under the same key; the ids of these follow
local stream, state, members, sent = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local channel, run, lease = ARGV[1], ARGV[2], ARGV[3]
local batch, history, least = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local sentLifetime, keyLifetime, roomLifetime = ARGV[7], ARGV[8], ARGV[9]
local FIRST = 10
-- Trimming exactly takes twice the time of adding; it matters only for short histories.
local trim = tonumber(history) >= 100 and '~' or '='

local function format(epoch, offset)
    return string.format('%.0f-%.0f', epoch, offset)
end

-- A node has one batch under way for a room, and repeats it until it knows the answer.
local before = redis.call('GET', sent)
if before then
    local number, answer = string.match(before, '^(%d+) (.*)$')
    if tonumber(number) == batch then
        return answer
    elseif tonumber(number) > batch then
        return redis.error_reply('STALE this batch was answered long ago')
    end
end

local known = redis.call('HMGET', state, 'epoch', 'offset', 'run')
local epoch, offset = tonumber(known[1]), tonumber(known[2])
-- The id of the entry before the first one of a new epoch.
local after
if not epoch or known[3] ~= run then
    -- The room is new here, or this is another run of Redis, which may have lost its last entries.
    -- With an epoch of its own, nobody takes what comes now for what was lost.
    after = epoch and format(epoch, offset) or '0-0'
    local time = redis.call('TIME')
    local newest = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    epoch = math.max(
        tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000),
        (epoch or 0) + 1,
        least + 1,
        newest and tonumber(string.match(newest[1], '^%d+')) + 1 or 1
    )
    offset = 0
end

local first, opened, added = nil, 0, 0
local head, bodies = {}, {}

local function add(event, sender, text)
    offset = offset + 1
    added = added + 1
    local id = format(epoch, offset)
    if not first then
        first = id
        head[1] = id
        head[2] = after or format(epoch, offset - 1)
    end
    if after then
        redis.call('XADD', stream, 'MAXLEN', trim, history, id,
            'event', event, 'sender', sender, 'text', text, 'after', after)
        after = nil
    else
        redis.call('XADD', stream, 'MAXLEN', trim, history, id,
            'event', event, 'sender', sender, 'text', text)
    end
    head[#head + 1] = string.format('%s %d %d', event, #sender, #text)
    bodies[#bodies + 1] = sender
    bodies[#bodies + 1] = text
    return id
end

local marks, ids = {}, {}

local function publish(event, sender, text)
    if event == 'open' then
        local node = redis.call('HGET', members, sender)
        if node ~= lease then
            redis.call('HSET', members, sender, lease)
        end
        if node then
            return
        end
        opened = opened + 1
    elseif event == 'close' and redis.call('HDEL', members, sender) == 0 then
        return
    elseif event == 'bury' then
        -- A lease has ended: its members leave.
        local all = redis.call('HGETALL', members)
        for i = 1, #all, 2 do
            if all[i + 1] == sender then
                redis.call('HDEL', members, all[i])
                add('close', all[i], '')
            end
        end
        return
    end
    return add(event, sender, text)
end

for i = FIRST, #ARGV, 4 do
    local event, sender, text, key = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local name = key ~= '' and state .. ':' .. #sender .. ':' .. sender .. ':' .. key
    local earlier = name and redis.call('GET', name)
    if earlier then
        marks[#marks + 1] = '='
        ids[#ids + 1] = earlier
    else
        local id = publish(event, sender, text)
        marks[#marks + 1] = id and '+' or '-'
        if id and name then
            redis.call('SET', name, id, 'EX', keyLifetime)
        end
    end
end

if added > 0 then
    redis.call('HSET', state, 'epoch', format(epoch, offset):match('^%d+'), 'offset',
        string.format('%.0f', offset), 'run', run)
    redis.call('PUBLISH', channel, table.concat(head, ' ') .. '\n' .. table.concat(bodies))
    -- A room is kept while somebody is in it, and for some time afterwards.
    local left = redis.call('HLEN', members)
    if left == 0 then
        redis.call('EXPIRE', stream, roomLifetime)
        redis.call('EXPIRE', state, roomLifetime)
    elseif left == opened then
        redis.call('PERSIST', stream)
        redis.call('PERSIST', state)
    end
end
local answer = (first or '0-0') .. ' ' .. table.concat(marks)
if #ids > 0 then
    answer = answer .. ' ' .. table.concat(ids, ' ')
end
redis.call('SET', sent, string.format('%.0f ', batch) .. answer, 'EX', sentLifetime)
return answer
