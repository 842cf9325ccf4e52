-- wrk: sixteen requests per write.
init = function(args)
  local requests = {}
  for place = 1, 16 do
    requests[place] = wrk.format("GET", "/hello")
  end
  request_text = table.concat(requests)
end

request = function()
  return request_text
end
