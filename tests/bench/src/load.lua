-- What wrk asks; the table `asked` stands before this. The arithmetic is that of catalogue/keys.sql.

local scatter_image, scatter_project, bits = 2654435761, 2246822519, 4294967296
local floor, random, format = math.floor, math.random, string.format
local zeros = string.rep("0", 32)
local threads = {}

local function image_id(n)
    local digits = format("1%08x", n * scatter_image % bits)
    return digits:sub(1, 8) .. "-" .. digits:sub(9) .. "000-0000-0000-000000000000"
end

local function project_id(p)
    return (format("1%08x", p * scatter_project % bits) .. zeros):sub(1, 32)
end

local function members(n)
    if n % 1000 == 0 then return 300 end
    if n % 100 == 50 then return 100 end
    return 1 + n * 7919 % 29
end

-- A big owner's image, by chance.
local function any_image()
    return 5 * random(1, asked.images / 5)
end

-- A call without a body, as wrk sends it: everything before and behind the path.
local function without_body(method, token)
    return method .. " ",
        " HTTP/1.1\r\nHost: " .. asked.host .. "\r\nX-Auth-Token: " .. token .. "\r\nAccept: */*\r\n\r\n"
end

local function with_body(method, token, body)
    return method .. " ",
        " HTTP/1.1\r\nHost: " .. asked.host .. "\r\nX-Auth-Token: " .. token
            .. "\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

-- The tails of a call for each token.
local function tails(method, tokens)
    local all, head = {}, nil
    for place, token in ipairs(tokens) do
        head, all[place] = without_body(method, token)
    end
    return head, all
end

local kinds = {}

kinds["show-member"] = function()
    local head, tail = tails("GET", asked.owners)
    return function()
        local n = any_image()
        local k = random(0, members(n) - 1)
        local member
        if k == 0 then
            member = 1100000 + floor(n / 40) % 8
        else
            member = (floor(n * scatter_image % bits / 64) + k) % asked.projects
        end
        return head .. "/v2/images/" .. image_id(n) .. "/members/" .. project_id(member) .. tail[1 + floor(n / 5) % 8]
    end
end

kinds["list-members"] = function()
    local head, tail = tails("GET", asked.owners)
    return function()
        local n = any_image()
        return head .. "/v2/images/" .. image_id(n) .. "/members" .. tail[1 + floor(n / 5) % 8]
    end
end

kinds["show-image"] = function()
    local head, tail = tails("GET", asked.owners)
    return function()
        local n = any_image()
        return head .. "/v2/images/" .. image_id(n) .. tail[1 + floor(n / 5) % 8]
    end
end

kinds["update-status"] = function()
    local head, tail, projects, turn = nil, { {}, {} }, {}, 0
    for place, token in ipairs(asked.takers) do
        head, tail[1][place] = with_body("PUT", token, '{"status": "accepted"}')
        head, tail[2][place] = with_body("PUT", token, '{"status": "rejected"}')
        projects[place] = project_id(1100000 + place - 1)
    end
    return function()
        local n = any_image()
        local taker = 1 + floor(n / 40) % 8
        turn = 1 - turn
        return head .. "/v2/images/" .. image_id(n) .. "/members/" .. projects[taker] .. tail[1 + turn][taker]
    end
end

-- A new member of an image that has room; when that is answered, its removal. wrk does not say which connection is
-- answered, but the answer says of which member it is.
kinds["add-remove"] = function()
    local added, count, owner_of = {}, 0, {}
    local post = "POST /v2/images/"
    local remove, tail = tails("DELETE", asked.owners)
    function response(status, headers, body)
        if status == 200 then
            local image, member = body:match('"image_id": *"([^"]+)"'), body:match('"member_id": *"([^"]+)"')
            if image and member then added[#added + 1] = { image, member } end
        end
    end
    return function()
        local last = table.remove(added)
        if last then
            local image = last[1]
            local owner = owner_of[last[2]]
            owner_of[last[2]] = nil
            return remove .. "/v2/images/" .. image .. "/members/" .. last[2] .. tail[owner]
        end
        local n = any_image()
        while n % 50 == 0 do n = any_image() end
        count = count + 1
        local member = format("added-%s-%d-%d", asked.seed, number, count)
        local owner = 1 + floor(n / 5) % 8
        owner_of[member] = owner
        local _, rest = with_body("POST", asked.owners[owner], '{"member": "' .. member .. '"}')
        return post .. image_id(n) .. "/members" .. rest
    end
end

-- The same path for each token in turn.
kinds["path"] = function()
    local all = {}
    for place, token in ipairs(asked.plain) do
        local head, tail = without_body("GET", token)
        all[place] = head .. asked.path .. tail
    end
    local turn = 0
    return function()
        turn = turn % #all + 1
        return all[turn]
    end
end

kinds["deep-marker"] = function()
    local head, tail = tails("GET", asked.plain)
    return function()
        return head .. "/v2/images?marker=" .. image_id(50 * random(1, asked.images / 100) + 1) .. tail[random(1, #tail)]
    end
end

-- Each token once.
kinds["token-miss"] = function()
    local tokens, turn = {}, 0
    for token in io.lines(asked.tokens) do tokens[#tokens + 1] = token end
    return function()
        turn = turn + 1
        if turn > #tokens then exhausted = 1 end
        local head, tail = without_body("GET", tokens[(turn - 1) % #tokens + 1])
        return head .. asked.path .. tail
    end
end

function setup(thread)
    threads[#threads + 1] = thread
    thread:set("number", #threads)
end

function init()
    math.randomseed(asked.seed * 64 + number)
    exhausted = 0
    request = kinds[asked.kind]()
    if asked.think > 0 then
        -- Milliseconds, exponentially distributed: connections do not march in step.
        function delay()
            return floor(-asked.think * math.log(1 - random()) + random())
        end
    end
end

function done(summary, latency, requests)
    local function tell(name, value) io.write(format("measured %s %.3f\n", name, value)) end
    local used_up = 0
    for _, thread in ipairs(threads) do used_up = used_up + (thread:get("exhausted") or 0) end
    tell("requests", summary.requests)
    tell("micros", summary.duration)
    tell("p50", latency:percentile(50))
    tell("p90", latency:percentile(90))
    tell("p99", latency:percentile(99))
    tell("p999", latency:percentile(99.9))
    tell("most", latency.max)
    tell("refused", summary.errors.status)
    tell("broken", summary.errors.connect + summary.errors.read + summary.errors.write)
    tell("late", summary.errors.timeout)
    tell("exhausted", used_up)
end
