-- Ask /authorize for a request of HAProxy (2.5 or later), by its own HTTP client.
-- Nothing but a 200 allows: the variable txn.mosaic_allowed is set last.

local URL = os.getenv("MOSAIC_AUTHORIZE")
local TOKEN = os.getenv("MOSAIC_TOKEN")
local ANSWERS = { "subject", "grant", "peer", "max-rows", "filter" }

local function authorize(txn)
    local headers = {
        ["client-cert"] = { ":" .. (txn:get_var("txn.mosaic_certificate") or "") .. ":" },
        ["x-mosaic-resource"] = { txn:get_var("txn.mosaic_resource") },
        ["x-mosaic-verb"] = { txn:get_var("txn.mosaic_verb") },
    }
    if TOKEN then
        headers["x-mosaic-token"] = { TOKEN }
    end
    local response = core.httpclient():get({ url = URL, headers = headers })
    if not response or response.status ~= 200 then
        return
    end
    for _, name in ipairs(ANSWERS) do
        local values = response.headers["x-mosaic-" .. name]
        if values then
            txn:set_var("txn.mosaic_" .. name:gsub("-", "_"), values[0])
        end
    end
    txn:set_var("txn.mosaic_allowed", true)
end

core.register_action("mosaic_authorize", { "http-req" }, authorize, 0)
