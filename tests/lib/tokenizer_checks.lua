--- Checks of a tokenizer against reference results, for the tests of each family.
--   local checks = dofile(t.dir .. "/lib/tokenizer_checks.lua")(t)
local json = require "hflua.core.json"
local tokenizer = require "hflua.tokenizer"

return function(t)
  local checks = {}

  local function load(path) return json.load_file(path) end

  local function flat(pairs_of)
    local list = {}
    for _, p in ipairs(pairs_of) do list[#list + 1], list[#list + 2] = p[1], p[2] end
    return list
  end

  -- Arguments of a Python call as arguments here.
  local function call(tok, case)
    local options = {}
    for name, value in pairs(case.kwargs) do options[name] = value end
    return tok(case.args[1], case.args[2], options)
  end

  -- The part of Python's exception texts that ours keep.
  local function expected_message(text)
    text = text:gsub("^%w+: ", "")
    return text
  end

  local function check_call(tok, case)
    if case.error then
      t.raises(function() call(tok, case) end, expected_message(case.error))
      return
    end
    local result = call(tok, case)
    for name, value in pairs(case.output) do t.same(result[name], value, name) end
    for _, name in ipairs(result:keys()) do assert(case.output[name] ~= nil, "unexpected column " .. name) end
    for i, words in ipairs(case.word_ids or {}) do
      t.same(result:word_ids(i), words, "word_ids " .. i)
      t.same(result:sequence_ids(i), case.sequence_ids[i], "sequence_ids " .. i)
    end
  end

  local function check_encodings(tok, texts, golden)
    for i, expected in ipairs(golden) do
      local result = tok(texts[i], { return_offsets_mapping = true })
      local where = ("text %d %q"):format(i, texts[i])
      t.same(result.input_ids, expected.ids, where .. " ids")
      t.same(tok(texts[i]).input_ids, expected.ids, where .. " ids without offsets")
      t.same(flat(result.offset_mapping), expected.offsets, where .. " offsets")
      if expected.tokens then t.same(result:tokens(), expected.tokens, where .. " tokens") end
    end
  end

  local function check_decode(tok, cases)
    for i, case in ipairs(cases) do
      t.same(tok:decode(case.ids), case.plain, "plain " .. i)
      t.same(tok:decode(case.ids, { skip_special_tokens = true }), case.skip_special, "skip_special " .. i)
      t.same(tok:decode(case.ids, { skip_special_tokens = true, clean_up_tokenization_spaces = true }), case.skip_special_clean, "clean " .. i)
      t.same(tok:decode(case.ids, { clean_up_tokenization_spaces = false }), case.plain_noclean, "noclean " .. i)
    end
  end

  local function check_trained(folder, texts)
    local expected = load(folder .. "/expected.json")
    local tok = tokenizer.PreTrainedTokenizerFast(folder .. "/tokenizer.json")
    local picked = {}
    for _, index in ipairs(expected.text_indices) do picked[#picked + 1] = texts[index + 1] end
    for _, text in ipairs(expected.extra_texts) do picked[#picked + 1] = text end
    check_encodings(tok, picked, expected.encodings)
    for i, pair in ipairs(expected.pairs) do
      local result = tok(texts[pair.a + 1], texts[pair.b + 1], { return_token_type_ids = true, return_special_tokens_mask = true, return_offsets_mapping = true })
      t.same(result.input_ids, pair.ids, "pair " .. i)
      t.same(result.token_type_ids, pair.type_ids, "types of pair " .. i)
      t.same(result.special_tokens_mask, pair.special_tokens_mask, "special tokens of pair " .. i)
      t.same(flat(result.offset_mapping), pair.offsets, "offsets of pair " .. i)
    end
    for i, ids in ipairs(expected.without_special_tokens) do
      t.same(tok(picked[i], { add_special_tokens = false }).input_ids, ids, "bare " .. i)
    end
    for i, encoding in ipairs(expected.encodings) do
      t.same(tok:decode(encoding.ids), expected.decode[i], "decode " .. i)
      t.same(tok:decode(encoding.ids, { skip_special_tokens = true }), expected.decode_skip_special[i], "decode skipping " .. i)
    end
    assert(#tok == expected.vocab_size and tok.vocab_size == expected.vocab_size_without_added, "vocabulary size")
  end

  checks.load, checks.call, checks.encodings, checks.decode, checks.trained = load, check_call, check_encodings, check_decode, check_trained
  return checks
end
