--- What the built-in GPT-2 reads before it is fine-tuned: tales, news and reviews in turn, none of the fine-tuning rows on purpose.
local here = debug.getinfo(1, "S").source:match "^@(.*)/[^/]*$" or "."
local news, reviews, tales = dofile(here .. "/news.lua"), dofile(here .. "/reviews.lua"), dofile(here .. "/tales.lua")

local prose = {}

local kinds = { function(random) return tales.tale(random) end, function(random) return (news.story(random)) end, function(random) return (reviews.review(random)) end }

--- A list of `count` passages.
function prose.passages(random, count)
  local list = {}
  for i = 1, count do list[i] = kinds[i % #kinds + 1](random) end
  return list
end

return prose
