"""What the Redis store does, as Lua: each script is one step, which no other client sees half of.

All keys of an agent begin with ``asap:{AGENT}:``, which is ``KEYS[1]``: its braces keep them in one slot of a cluster.

==================  ======================================================================================
``task:ID``         the record, a hash
``log:ID``          its events, by number
``snaps:ID``        the ids of its snapshots, by version; ``snap:ID`` has their bodies
``slot:…``          the task that an idempotency key stands for
``nonce:…``         until when a nonce is remembered; ``nonces`` has them all, by that time, and ``nonces:SENDER``
                    those of one sender
``ids``             every task; ``ids:STATUS`` those of one status
``work``            a stream with an entry for each task that is submitted or working; the group ``workers`` has
                    each entry pending for the task's owner, or for ``-`` while nobody owns it
``leases``          the tasks in ``work``, by the end of their lease
``ends``            tasks that are over, by when they expire
==================  ======================================================================================

A pending entry tells who runs what. When leases are over is told by ``leases``: Redis measures how long an entry was
idle by its own clock, while a lease is a time that a worker wrote, and to look through all that is pending at each
beat of each worker would take the longer the more there is.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ACCEPT", "COLUMNS", "FORGET", "RENEW", "SNAPSHOT", "TAKE_OVER", "TASKS", "WRITE"]

#: The fields of a record that are read back, in order.
COLUMNS: Final = ("job", "state", "status", "owner", "lease", "updated", "version", "expires", "reply")

_COMMON: Final = (
    f"local COLUMNS = {{{', '.join(map(repr, COLUMNS))}}}"
    """
local P = KEYS[1]
local FINAL = {completed = true, failed = true, cancelled = true}
local LIVE = {submitted = true, working = true}

local function num(text)
  if text == 'inf' then return math.huge end
  return tonumber(text)
end

local function consumer(owner)
  if owner == '' then return '-' end
  return owner
end

local function unqueue(id, entry)
  if entry then
    redis.call('XACK', P .. 'work', 'workers', entry)
    redis.call('XDEL', P .. 'work', entry)
    redis.call('HDEL', P .. 'task:' .. id, 'entry')
  end
  redis.call('ZREM', P .. 'leases', id)
end

-- A claim by force makes pending what no consumer has read; the group must then not hand it out once more.
local function queue(id, entry, owner, lease)
  if not entry then
    entry = redis.call('XADD', P .. 'work', '*', 'task', id)
    local moved = redis.pcall('XGROUP', 'SETID', P .. 'work', 'workers', entry)
    if moved.err then redis.call('XGROUP', 'CREATE', P .. 'work', 'workers', entry) end
    redis.call('HSET', P .. 'task:' .. id, 'entry', entry)
  end
  redis.call('XCLAIM', P .. 'work', 'workers', consumer(owner), 0, entry, 'FORCE', 'JUSTID')
  redis.call('ZADD', P .. 'leases', lease, id)
end

local function drop(id)
  local kept = redis.call('HMGET', P .. 'task:' .. id, 'slot', 'entry')
  if kept[1] and redis.call('GET', P .. 'slot:' .. kept[1]) == id then redis.call('DEL', P .. 'slot:' .. kept[1]) end
  unqueue(id, kept[2])
  redis.call('DEL', P .. 'task:' .. id, P .. 'log:' .. id, P .. 'snaps:' .. id, P .. 'snap:' .. id)
  redis.call('ZREM', P .. 'ids', id)
  redis.call('ZREM', P .. 'ends', id)
  for _, status in ipairs({'submitted', 'working', 'input_required', 'completed', 'failed', 'cancelled'}) do
    redis.call('ZREM', P .. 'ids:' .. status, id)
  end
end

-- Where the task belongs by its status. What is over goes by itself, should nobody come to forget it.
local function place(id, before, entry, record)
  if before ~= record.status then
    if before then redis.call('ZREM', P .. 'ids:' .. before, id) end
    redis.call('ZADD', P .. 'ids:' .. record.status, 0, id)
  end
  if LIVE[record.status] then queue(id, entry, record.owner, record.lease) else unqueue(id, entry) end
  if FINAL[record.status] then
    redis.call('ZADD', P .. 'ends', record.expires, id)
    if record.ttl ~= '' then
      local slot = redis.call('HGET', P .. 'task:' .. id, 'slot')
      for _, kind in ipairs({'task:', 'log:', 'snaps:', 'snap:'}) do
        redis.call('PEXPIRE', P .. kind .. id, record.ttl)
      end
      if slot then redis.call('PEXPIRE', P .. 'slot:' .. slot, record.ttl) end
    end
  elseif record.status == 'input_required' then
    redis.call('ZADD', P .. 'ends', record.expires, id)
  elseif before == 'input_required' then
    redis.call('ZREM', P .. 'ends', id)
  end
end

-- What follows at `at`: the mark, the eight fields, how long it is kept, and events as pairs of number and line.
local function put(id, at, before, entry)
  local record = {
    status = ARGV[at + 2], owner = ARGV[at + 3], lease = ARGV[at + 4], expires = ARGV[at + 7], ttl = ARGV[at + 9]
  }
  redis.call('HSET', P .. 'task:' .. id, 'mark', ARGV[at], 'state', ARGV[at + 1], 'status', record.status,
    'owner', record.owner, 'lease', record.lease, 'updated', ARGV[at + 5], 'version', ARGV[at + 6],
    'expires', record.expires)
  if ARGV[at + 8] == '' then
    redis.call('HDEL', P .. 'task:' .. id, 'reply')
  else
    redis.call('HSET', P .. 'task:' .. id, 'reply', ARGV[at + 8])
  end
  local most = tonumber(ARGV[at + 10])
  local last = at + 11 + 2 * tonumber(ARGV[at + 11])
  for i = at + 12, last, 2 do redis.call('ZADD', P .. 'log:' .. id, ARGV[i], ARGV[i + 1]) end
  if last > at + 11 then redis.call('ZREMRANGEBYRANK', P .. 'log:' .. id, 0, -most - 1) end
  return last, function() place(id, before, entry, record) end
end
"""
)

#: ARGV: 1 mark, 2 now, 3 nonce, 4 until when, 5 for how long in ms, 6 nonces at most, 7 of one sender, 8 the sender,
#: 9 id, 10 slot, 11 digest, 12 job, from 13 on the record.
ACCEPT: Final = (
    _COMMON
    + """
local mark, now, nonce, id, slot = ARGV[1], num(ARGV[2]), ARGV[3], ARGV[9], ARGV[10]

-- The reply to an earlier try of this very call may have been lost.
local born = id ~= '' and redis.call('HGET', P .. 'task:' .. id, 'born')
if born == mark then return {'fresh'} end
if slot ~= '' then
  local held = redis.call('GET', P .. 'slot:' .. slot)
  if held then
    local kept = redis.call('HMGET', P .. 'task:' .. held, 'expires', 'digest', 'reply')
    if kept[1] and now < num(kept[1]) then return {'held', held, kept[2], kept[3]} end
    drop(held)
  end
end
if born and redis.call('EXISTS', P .. 'task:' .. id) == 1 then
  return redis.error_reply('ASAP there is a task ' .. id .. ' already')
end
if nonce ~= '' then
  local seen = redis.call('HMGET', P .. 'nonce:' .. nonce, 'until', 'mark')
  if seen[1] and now < num(seen[1]) then
    if seen[2] ~= mark then return {'repeated'} end
  else
    -- Two for each that comes: what is over goes little by little.
    for _, over in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nonces', '-inf', ARGV[2], 'LIMIT', 0, 2)) do
      redis.call('ZREM', P .. 'nonces', over)
      redis.call('DEL', P .. 'nonce:' .. over)
    end
    local theirs = P .. 'nonces:' .. ARGV[8]
    for _, over in ipairs(redis.call('ZRANGEBYSCORE', theirs, '-inf', ARGV[2], 'LIMIT', 0, 2)) do
      redis.call('ZREM', theirs, over)
    end
    if redis.call('ZCOUNT', P .. 'nonces', '(' .. ARGV[2], '+inf') >= tonumber(ARGV[6])
      or redis.call('ZCOUNT', theirs, '(' .. ARGV[2], '+inf') >= tonumber(ARGV[7]) then return {'full'} end
    redis.call('HSET', P .. 'nonce:' .. nonce, 'until', ARGV[4], 'mark', mark)
    redis.call('PEXPIRE', P .. 'nonce:' .. nonce, ARGV[5])
    redis.call('ZADD', P .. 'nonces', ARGV[4], nonce)
    redis.call('ZADD', theirs, ARGV[4], nonce)
    redis.call('PEXPIRE', theirs, ARGV[5])
  end
end
if id ~= '' then
  redis.call('HSET', P .. 'task:' .. id, 'born', mark, 'job', ARGV[12])
  redis.call('ZADD', P .. 'ids', 0, id)
  if slot ~= '' then
    redis.call('HSET', P .. 'task:' .. id, 'slot', slot, 'digest', ARGV[11])
    redis.call('SET', P .. 'slot:' .. slot, id)
  end
  local _, settle = put(id, 13, nil, nil)
  settle()
end
return {'fresh'}
"""
)

#: ARGV: 1 id, 2 whether the slot is kept, from 3 on the record; then snapshots kept at most, and version, id and body.
WRITE: Final = (
    _COMMON
    + """
local id, version = ARGV[1], tonumber(ARGV[9])
local before = redis.call('HMGET', P .. 'task:' .. id, 'version', 'status', 'mark', 'entry', 'slot', 'owner', 'lease')
if not before[1] then return 0 end
-- The reply to an earlier try of this very call may have been lost.
if tonumber(before[1]) == version and before[3] == ARGV[3] then return 1 end
if tonumber(before[1]) ~= version - 1 or FINAL[before[2]] then return 0 end
-- The lease may have been renewed since whoever writes has read it.
if before[6] == ARGV[6] and not FINAL[ARGV[5]] and num(before[7]) > num(ARGV[7]) then ARGV[7] = before[7] end
if ARGV[2] == '0' and before[5] then
  if redis.call('GET', P .. 'slot:' .. before[5]) == id then redis.call('DEL', P .. 'slot:' .. before[5]) end
  redis.call('HDEL', P .. 'task:' .. id, 'slot')
end
local last, settle = put(id, 3, before[2], before[4])
if ARGV[last + 2] then
  redis.call('ZADD', P .. 'snaps:' .. id, ARGV[last + 2], ARGV[last + 3])
  redis.call('HSET', P .. 'snap:' .. id, ARGV[last + 3], ARGV[last + 4])
  for _, old in ipairs(redis.call('ZRANGE', P .. 'snaps:' .. id, 0, -tonumber(ARGV[last + 1]) - 1)) do
    redis.call('ZREM', P .. 'snaps:' .. id, old)
    redis.call('HDEL', P .. 'snap:' .. id, old)
  end
end
settle()
return 1
"""
)

#: ARGV: 1 task, 2 'version', 'id' or '', 3 which.
SNAPSHOT: Final = """
local P = KEYS[1]
local id = ARGV[3]
if ARGV[2] == 'version' then id = redis.call('ZRANGEBYSCORE', P .. 'snaps:' .. ARGV[1], ARGV[3], ARGV[3])[1] end
if ARGV[2] == '' then id = redis.call('ZRANGE', P .. 'snaps:' .. ARGV[1], -1, -1)[1] end
return id and redis.call('HGET', P .. 'snap:' .. ARGV[1], id)
"""

#: ARGV: 1 owner, 2 until. The claim sets back how long the entries were idle.
RENEW: Final = (
    _COMMON
    + """
local held, from = {}, '-'
while true do
  local page = redis.pcall('XPENDING', P .. 'work', 'workers', from, '+', 500, ARGV[1])
  if page.err or #page == 0 then return held end
  local claim = {P .. 'work', 'workers', ARGV[1], 0}
  for _, pending in ipairs(page) do
    table.insert(claim, pending[1])
    local entry = redis.call('XRANGE', P .. 'work', pending[1], pending[1])[1]
    local id = entry and entry[2][2]
    local version = id and redis.call('HGET', P .. 'task:' .. id, 'version')
    if version then
      redis.call('HSET', P .. 'task:' .. id, 'lease', ARGV[2])
      redis.call('ZADD', P .. 'leases', ARGV[2], id)
      table.insert(held, id)
      table.insert(held, version)
    end
    from = '(' .. pending[1]
  end
  table.insert(claim, 'JUSTID')
  redis.call('XCLAIM', unpack(claim))
end
"""
)

#: ARGV: 1 mark, 2 owner, 3 now, 4 until, 5 at most. Of a thousand whose lease is over the oldest are given.
TAKE_OVER: Final = (
    _COMMON
    + """
local function records(ids)
  local found = {}
  for _, id in ipairs(ids) do table.insert(found, redis.call('HMGET', P .. 'task:' .. id, unpack(COLUMNS))) end
  return found
end

-- The reply to an earlier try of this very call may have been lost.
local taken = redis.call('LRANGE', P .. 'taken:' .. ARGV[1], 0, -1)
if #taken > 0 then return records(taken) end
local most = tonumber(ARGV[5])
local over = redis.call('ZRANGEBYSCORE', P .. 'leases', '-inf', ARGV[3], 'LIMIT', 0, math.max(most, 1000))
table.sort(over)
for _, id in ipairs(over) do
  if #taken == most then break end
  local kept = redis.call('HMGET', P .. 'task:' .. id, 'entry', 'version')
  if kept[1] and kept[2] then
    redis.call('HINCRBY', P .. 'task:' .. id, 'version', 1)
    redis.call('HSET', P .. 'task:' .. id, 'owner', ARGV[2], 'lease', ARGV[4])
    queue(id, kept[1], ARGV[2], ARGV[4])
    redis.call('RPUSH', P .. 'taken:' .. ARGV[1], id)
    table.insert(taken, id)
  else
    redis.call('ZREM', P .. 'leases', id)
  end
end
redis.call('PEXPIRE', P .. 'taken:' .. ARGV[1], 60000)
return records(taken)
"""
)

#: ARGV: 1 index, 2 after, 3 at most.
TASKS: Final = (
    _COMMON
    + """
local found, from, most = {}, '(' .. ARGV[2], tonumber(ARGV[3])
if ARGV[2] == '' then from = '-' end
while #found < most do
  local ids = redis.call('ZRANGEBYLEX', P .. ARGV[1], from, '+', 'LIMIT', 0, most - #found)
  if #ids == 0 then break end
  for _, id in ipairs(ids) do
    local record = redis.call('HMGET', P .. 'task:' .. id, unpack(COLUMNS))
    if record[1] then table.insert(found, record) end
    from = '(' .. id
  end
end
return found
"""
)

#: ARGV: 1 now, 2 at most.
FORGET: Final = (
    _COMMON
    + """
local over = redis.call('ZRANGEBYSCORE', P .. 'ends', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(over) do drop(id) end
for _, nonce in ipairs(redis.call('ZRANGEBYSCORE', P .. 'nonces', '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  redis.call('ZREM', P .. 'nonces', nonce)
  redis.call('DEL', P .. 'nonce:' .. nonce)
end
-- Each worker that ever ran was a consumer by a name of its own.
local group = redis.pcall('XINFO', 'CONSUMERS', P .. 'work', 'workers')
for _, consumer in ipairs(group.err and {} or group) do
  local told = {}
  for i = 1, #consumer, 2 do told[consumer[i]] = consumer[i + 1] end
  if told.pending == 0 then redis.call('XGROUP', 'DELCONSUMER', P .. 'work', 'workers', told.name) end
end
return #over
"""
)
