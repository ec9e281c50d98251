"""Writes tests/references/chats.json: chats as prompts, by `apply_chat_template` of transformers.

python -m venv there && there/bin/pip install torch transformers
there/bin/python tools/record_chats.py
"""

from __future__ import annotations

import json
import pathlib

import tokenizers
import transformers

OUTPUT = pathlib.Path(__file__).parents[1] / "tests" / "references" / "chats.json"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

# SmolLM2's is the one that its GGUF file holds; the others do what those of their names do.
TEMPLATES = {
    "smollm2": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
        "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
        "{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "chatml": """{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}
""",
    "llama3": """{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
<|start_header_id|>system<|end_header_id|>

{% if tools is defined and tools %}
Environment: ipython
{% endif %}
{{ system }}<|eot_id|>
{%- for message in messages %}
    {%- if message.tool_calls is defined %}
        {{- '<|python_tag|>' + (message.tool_calls[0].function | tojson) }}
    {%- elif message.content is mapping or message.content is iterable and message.content is not string %}
        {%- for part in message.content %}{{- part.text }}{% endfor %}
    {%- else %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- for tool in tools or [] %}
    {{- tool | tojson(indent=4) }}
    {{- "\n\n" }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}
""",
    "alternating": """{{ bos_token }}
    {% for message in messages %}
    {% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{ raise_exception('Roles must alternate: user, assistant, user, …') }}
    {% endif %}
    {% if loop.index0 > 6 %}
    {% break %}
    {% endif %}
    {% if message.role == 'user' %}
[INST] {{ message.content.strip() }} [/INST]
    {% else %}
{% generation %}{{ message.content | upper }}{{ eos_token }}{% endgeneration %}
    {% endif %}
{% endfor %}""",
}
HELLO = {"role": "user", "content": "Hello, <b>wörld</b> & 'you' 😀 "}
SYSTEM, ANSWER = {"role": "system", "content": "  Be brief.\n"}, {"role": "assistant", "content": "Hi!\nHow are you?"}
CALL = {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": {"a": 1, "b": "é"}}}]}
PARTS = {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
TOOL = {"type": "function", "function": {"name": "add", "description": "adds <two>", "parameters": {"type": "object"}}}
CHATS = (
    {"messages": [HELLO]},
    {"messages": [SYSTEM, HELLO, ANSWER, HELLO]},
    {"messages": [HELLO, ANSWER], "add_generation_prompt": False},
    {"messages": [HELLO, CALL, PARTS], "tools": [TOOL]},
)


def main():
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 0, "</s>": 1}, unk_token="<s>"))
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **SPECIAL)
    cases = []
    for name, template in TEMPLATES.items():
        for chat in CHATS:
            given = {"add_generation_prompt": True} | chat
            messages = given.pop("messages")
            try:
                text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, **given)
            except Exception as error:
                text = None  # refused
                print(name, type(error).__name__, error)
            cases.append({"template": name, "chat": chat, "text": text})
    found = {"templates": TEMPLATES, "special_tokens": SPECIAL, "cases": cases}
    OUTPUT.write_text(json.dumps(found, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
