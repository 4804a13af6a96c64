"""Writes tests/golden/chat/expected.json: chat templates in the manner of the popular model families, conversations, and what
transformers renders: python tests/oracle/chat_templates.py > tests/golden/chat/expected.json"""
import json, sys
from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {}
TEMPLATES["chatml"] = """{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
TEMPLATES["chatml_generation"] = """{%- for m in messages %}
{{- '<|im_start|>' ~ m.role ~ '\\n' }}
{%- if m.role == 'assistant' %}
{%- generation %}{{ m.content }}<|im_end|>{% endgeneration %}
{%- else %}
{{- m.content + '<|im_end|>' }}
{%- endif %}
{{- '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TEMPLATES["llama2"] = """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must take turns') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"""
TEMPLATES["llama3"] = """{{- bos_token }}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{#- a leading system message, or nothing -#}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: tools\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {{- "You have these functions. Answer with JSON.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("one call at a time") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
"""
TEMPLATES["qwen2.5"] = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You are helpful.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\n{\\"name\\": <function-name>}<|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {{- '\\n<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""
TEMPLATES["qwen3"] = """{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
TEMPLATES["mistral"] = """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("user and assistant must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- endif %}
{%- endfor %}
"""
TEMPLATES["zephyr"] = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
TEMPLATES["gemma"] = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"""
TEMPLATES["gemma3"] = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("bad content") }}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\\n'}}
{%- endif -%}
"""
TEMPLATES["phi3"] = """{% for message in messages %}{% if message['role'] == 'system' and message['content'] %}{{'<|system|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"""
TEMPLATES["macros"] = """{%- macro render_type(spec, depth=0) -%}
    {%- if spec.type == "array" -%}
        {{ "list[" + render_type(spec["items"], depth + 1) + "]" }}
    {%- elif spec.type == "object" and spec.properties is defined -%}
        {%- for name, value in spec.properties | dictsort -%}
            {{ name }}: {{ render_type(value, depth=depth + 1) }}{% if name in spec.get('required', []) %}!{% endif %}
            {%- if not loop.last %}, {% endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ {"string": "str", "integer": "int", "number": "float"}.get(spec.type, "any") }}
    {%- endif -%}
{%- endmacro -%}
{% for tool in tools or [] %}
def {{ tool.function.name }}({{ render_type(tool.function.parameters) }}):
    {{ tool.function.description | indent(4) | capitalize }}
{% endfor %}
{% for role, name in [('user', 'U'), ('assistant', 'A')] %}
{{ name }}: {{ messages | selectattr('role', 'eq', role) | map(attribute='content') | join(' / ') | upper }}
{% else %}
nothing
{% endfor %}
{% set text %}
block {{ messages | length }}
{% endset %}
{{ text | trim | title }} {{ messages | map(attribute='role') | unique | list }} {{ messages | rejectattr('role', 'in', ['user']) | list | length }}
{% filter upper %}loud {{ bos_token }}{% endfilter %}
{% with a = 1, b = 'x' %}{{ a ~ b }}{% endwith %}
{% raw %}{{ not read }}{% endraw %}
{{ loop is defined }} {{ undefined_name | default('fallback') }} {{ '' | default('empty', true) }}
{% for m in messages if m.role != 'system' %}{{ loop.index }}/{{ loop.length }}:{{ loop.revindex0 }}{{ loop.cycle('a', 'b') }}{% if loop.changed(m.role) %}*{% endif %}{% if not loop.last %},{% endif %}{% endfor %}

{% for m in messages %}{% if loop.index > 2 %}{% break %}{% endif %}{% if m.role == 'system' %}{% continue %}{% endif %}<{{ m.role[:1] }}>{% endfor %}
"""
TEMPLATES["expressions"] = """{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ 2 ** 5 }} {{ 7 / 2 }} {{ 1.5 + 1 }} {{ 'ab' * 3 }} {{ 1 < 2 < 3 }} {{ not 1 == 2 }}
{{ 'a' in 'abc' }} {{ 'x' not in ['y'] }} {{ 1 if false else 2 }} {{ 'one' if messages else 'none' }} [{{ 'q' if false }}]
{{ [1, 'two', 3.0, none, true, {'k': ['v']}] }} {{ (1, 2) }} {{ {'a': 1}.items() | list }} {{ 'it\\'s' }} {{ ["it's"] }}
{{ 'héllo wörld' | upper }} {{ 'ÀB' | lower }} {{ 'hello wORLD-foo bar' | title }} {{ 'hello WORLD' | capitalize }} {{ '  x ' | trim }}|{{ 'xxaxx'.strip('x') }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'x'.join(['1', '2']) }} {{ 'abc'[::-1] }} {{ 'héllo'[1:3] }} {{ 'abc'[-1] }}
{{ 'abc' | length }} {{ {'a': 1, 'b': 2} | length }} {{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) | first }} {{ [1, 2, 3] | last }} {{ range(3) | list }} {{ range(5, 0, -2) | list }}
{{ '3' | int + 1 }} {{ 'x' | int(5) }} {{ 3.7 | int }} {{ '2.5' | float }} {{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ -3 | abs }} {{ [1, 2, 3] | sum }} {{ [1, 5, 2] | max }}
{{ {'b': 1, 'a': [1, 2, {'c': "é<>&'"}]} | tojson }} {{ [1, {'x': []}] | tojson(indent=2) }} {{ {'z': 1, 'y': 2} | tojson(sort_keys=true) }} {{ 'é' | tojson(ensure_ascii=true) }}
{{ 'a\\tb\\n' | tojson }} {{ 1.0 | tojson }} {{ 1e20 }} {{ 0.1 + 0.2 }} {{ 12345678 * 1000 }} {{ none }} {{ true }} {{ nothing_here }}|
{{ 'abc'.replace('b', 'X') }} {{ 'aaa' | replace('a', 'b', 2) }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'Abc'.isupper() }} {{ '12'.isdigit() }} {{ 'x y'.title() }}
{{ 3 is divisibleby 3 }} {{ 4 is even }} {{ 'x' is string }} {{ {} is mapping }} {{ [] is iterable }} {{ 1 is number }} {{ none is none }} {{ q is undefined }} {{ q is not defined }} {{ 1.0 is float }} {{ true is boolean }} {{ 2 is gt 1 }} {{ 'a' is in 'abc' }}
{{ '%s-%d' % ('a', 3) }} {{ '%s' | format('x') }} {{ 'a{}b{}'.format(1, 'c') }} {{ 'x' ~ 1 ~ none }} {{ 'line1
line2' | indent(2) }} {{ 'a\\nb\\n\\nc' | indent(width=2, first=true) }}
{{- ' joined ' -}}
  end {{ [[1, 2], [3]] | map('length') | list }} {{ ['a', 'B'] | map('upper') | join(',') }} {{ [1, 2, 3, 4] | select('even') | list }} {{ [0, 1, ''] | reject | list }} {{ 'x' is defined and not (1 > 2 or false) }}
{%+ if true %}
  kept
{%+ endif +%}

    {% if true %}
  cut
    {% endif %}
done {# a comment #}
{#- another -#}   glued
{{ messages[0].nothing }}{{ messages[0]['nothing'] is defined }} {{ messages[-1].content.split('.')[0] }} {{ messages | map(attribute='role') | list | tojson }} {{ {'a': {'b': 1}}['a'].b }} {{ dict(a=1) }} {{ [1] + [2] }} {{ 'a' 'b' }}
{{ 'äöü' | list }} {{ 'wide' | center(10) }}| {{ [{'n': 2}, {'n': 1}] | sort(attribute='n') | map(attribute='n') | list }} {{ 'a-b_c' | wordcount }} {{ '<a>' | e }} {{ 'x' | string | safe }} {{ {'a': none, 'b': 2}.get('a', 5) }} {{ {'b': 2}.get('z') }} {{ {'b': 2}.get('z', 7) }}"""

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather of a place.\nIn degrees.", "parameters": {"type": "object", "properties": {
    "place": {"type": "string", "description": "The \"place\""}, "days": {"type": "array", "items": {"type": "integer"}}}, "required": ["place"]}}}]
CALL = {"role": "assistant", "tool_calls": [{"id": "abc123456", "type": "function", "function": {"name": "get_weather", "arguments": {"place": "Zürich", "days": [1, 2]}}}]}
U, A, S = (lambda c: {"role": "user", "content": c}), (lambda c: {"role": "assistant", "content": c}), (lambda c: {"role": "system", "content": c})
CONVERSATIONS = {
    "one": [U("Hello!")], "two": [U("  Hi there. "), A(" Hello. How are you? ")],
    "system": [S("Be brief."), U("Why is the sky blue?"), A("Scattering.\n"), U("And red?\n\n")],
    "unicode": [U("Grüß dich 😀 \u00a0"), A("日本語\u3000です"), U("<b>&amp;</b> \"quotes\" 'single' \\ back\tslash")],
    "thinking": [U("2+2?"), A("<think>\nadd them\n</think>\n\n4"), U("again"), A("<think>\nsame\n</think>\n\nfour")],
    "thought": [U("2+2?"), {"role": "assistant", "content": "4", "reasoning_content": "easy"}],
    "tools": [U("Weather?"), CALL, {"role": "tool", "content": "sunny", "tool_call_id": "abc123456", "name": "get_weather"}, A("It is sunny.")],
    "parts": [{"role": "user", "content": [{"type": "text", "text": " What is this? "}, {"type": "image"}]}],
    "turns": [A("I begin."), U("No.")], "empty": [U(""), A("")],
    "braces": [U("{{ 7 * 7 }} {% raw %}"), A("{# not a comment #}")],
}
OPTIONS = [{}, {"add_generation_prompt": True}, {"tools": TOOLS}, {"add_generation_prompt": True, "enable_thinking": False, "date_string": "1 Jan 2025"},
           {"return_assistant_tokens_mask": True}, {"continue_final_message": True}]

cases = []
for name, template in TEMPLATES.items():
    for chat, messages in CONVERSATIONS.items():
        for i, options in enumerate(OPTIONS):
            if options.get("return_assistant_tokens_mask") and "generation %}" not in template: continue
            case = {"template": name, "messages": chat, "options": i}
            try:
                out, spans = render_jinja_template([messages], chat_template=template, bos_token="<s>", eos_token="</s>", **options)
                case["text"] = out[0]
                if spans: case["spans"] = spans[0]
            except Exception as error:
                case["error"] = str(error)[:200]
            cases.append(case)
json.dump({"templates": TEMPLATES, "conversations": CONVERSATIONS, "options": OPTIONS, "cases": cases}, sys.stdout, ensure_ascii=False, indent=0)
