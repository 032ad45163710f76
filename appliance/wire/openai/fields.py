"""The fields that OpenAI, vLLM, llama-server and Ollama document and that are not honoured here.

Rules: a field is here once for a route, as refused or as harmless, and never besides a schema that
honours it. A field whose meaning would be lost is refused by name, until the engine can do what it
asks for. Harmless is what changes no answer. A field that spells another one in its own way
(`maxTokens`) is refused with the right name. Other unknown fields are ignored, and logged by name.

Sources: the OpenAI API reference and the types of its SDK 3.57; vLLM's protocol modules;
llama.cpp's `server-schema.cpp` and README; Ollama's API documentation.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel, model_validator

from appliance.wire.openai.unsupported import (
    Unsupported,
    absent,
    refuse_spellings,
    refuse_unsupported,
)

Route: TypeAlias = Literal[
    "chat",
    "completions",
    "responses",
    "messages",
    "embeddings",
    "rerank",
    "classify",
    "tokenize",
    "message",
]
"""A route by its short name; `messages` is Anthropic's, `message` an element of `messages`."""


class FieldGroup(NamedTuple):
    """Fields of which the same is true.

    Attributes:
        reason: why they are refused, and what to use instead; or why they change no answer.
        defaults: of refused ones, the values besides null that ask for nothing; None: all values
            are harmless.
    """

    names: tuple[str, ...]
    routes: tuple[Route, ...]
    reason: str
    defaults: tuple[Any, ...] | None


def _refused(names: str, routes: tuple[Route, ...], reason: str, *defaults: Any) -> FieldGroup:
    return FieldGroup(tuple(names.split()), routes, reason, defaults)


def _harmless(names: str, routes: tuple[Route, ...], reason: str) -> FieldGroup:
    return FieldGroup(tuple(names.split()), routes, reason, None)


_CHAT: Final[tuple[Route, ...]] = ("chat",)
_COMPLETIONS: Final[tuple[Route, ...]] = ("completions",)
_RESPONSES: Final[tuple[Route, ...]] = ("responses",)
_PLAIN: Final[tuple[Route, ...]] = ("chat", "completions")
_TALKS: Final[tuple[Route, ...]] = ("chat", "responses")
_TEXT: Final[tuple[Route, ...]] = ("chat", "completions", "responses")
_MESSAGES: Final[tuple[Route, ...]] = ("messages",)
_EMBED: Final[tuple[Route, ...]] = ("embeddings",)
_RANK: Final[tuple[Route, ...]] = ("rerank",)
_VECTORS: Final[tuple[Route, ...]] = ("embeddings", "rerank")
_CLASSIFY: Final[tuple[Route, ...]] = ("classify",)
_POOLED: Final[tuple[Route, ...]] = (*_VECTORS, *_CLASSIFY)
_EVERY: Final[tuple[Route, ...]] = (*_TEXT, *_POOLED)

_NO_SCHEMA: Final = "use a JSON schema, guided_regex, or guided_grammar with a name"
_OLD_TOOLS: Final = "use tools and tool_choice, which replace it"
_ONLY_CHAT: Final = "only chats take tools"
_TEXT_ONLY: Final = "models read and write text only"
_SIGNED: Final = "the template is part of the signed model"
_NEVER_CUT: Final = "what does not fit is refused, never cut"
_OTHER_ROUTE: Final = "use /v1/chat/completions"
_NO_SAMPLER: Final = "there is no such sampler here"
_NOT_TOLD: Final = "the answer has no such part"
_BEGUN: Final = "an answer is always begun"
_OF_THE_TASK: Final = "the prompt is the task's own"

TABLE: Final[tuple[FieldGroup, ...]] = (
    # What an answer may say.
    _refused("grammar grammar_lazy", _PLAIN, _NO_SCHEMA, "", False),
    _refused("structured_outputs regex ebnf schema response_schema", _TEXT, _NO_SCHEMA),
    _refused(
        "structural_tag grammar_type grammar_triggers preserved_tokens format guided_decoding",
        _TEXT, _NO_SCHEMA, [], "",
    ),
    _refused("bad_words allowed_token_ids logits_processors", _TEXT, "use logit_bias", []),
    _refused("stop_token_ids", _TEXT, "stop takes strings only", []),
    _refused("stop_sequences stopping_strings", _TEXT, "its name is stop here", []),
    _refused("include_stop_str_in_output", _TEXT, "a stop text is never part of an answer", False),
    _refused("suffix input_prefix input_suffix input_extra", _TEXT,
             "text is not filled into a gap", "", []),
    _refused("functions", _PLAIN, _OLD_TOOLS, []),
    _refused("function_call", _PLAIN, _OLD_TOOLS, "none", "auto"),
    _refused("web_search_options", _TEXT, "the appliance reaches no network"),
    _refused("moderation", _TEXT, "no other model looks at texts"),
    _refused("documents", _TEXT, "put documents into the messages", []),
    _refused("audio image images image_data multimodal_data", _TEXT, _TEXT_ONLY, []),
    _refused("modalities", _TEXT, _TEXT_ONLY, [], ["text"]),
    # How a token is drawn.
    _refused("use_beam_search", _TEXT, "choices are sampled; use n or best_of", False),
    _refused("length_penalty", _TEXT, "it belongs to beam search", 1, 0),
    _refused("mirostat dynatemp_range xtc_probability dry_multiplier top_a", _TEXT, _NO_SAMPLER, 0),
    _refused("adaptive_decay", _TEXT, _NO_SAMPLER, 0, 0.9),
    _refused("tfs_z", _TEXT, _NO_SAMPLER, 0, 1),
    _refused("typical", _TEXT, "its name is typical_p here, on chats and completions", 0, 1),
    _refused("do_sample", _TEXT, "temperature 0 takes the likeliest token", True),
    _refused("top_n_sigma adaptive_target", _TEXT, _NO_SAMPLER, -1, 0),
    _refused("min_keep", _TEXT, _NO_SAMPLER, 0, 1),
    _refused("samplers watermarking repetition_detection", _TEXT, _NO_SAMPLER, [], False),
    _harmless(
        "mirostat_tau mirostat_eta dynatemp_exponent xtc_threshold dry_base dry_allowed_length "
        "dry_penalty_last_n dry_sequence_breakers",
        _TEXT, "read only with a sampler that is refused",
    ),
    _refused("repeat_last_n", _TEXT, "penalties look at the whole text", -1, 64),
    _refused("lora", _TEXT, "an adapter is asked for by its model id", []),
    _refused("vllm_xargs kv_transfer_params ec_transfer_params prompt_embeds", _TEXT,
             "the engine has no such extension", {}),
    # How long.
    _refused("n_predict max_new_tokens num_predict max_length", _TEXT,
             "its name is max_tokens here, max_output_tokens on /v1/responses", -1),
    _refused("max_output_tokens", _PLAIN, "its name is max_tokens here"),
    _refused("min_length min_new_tokens", _TEXT, "its name is min_tokens here, except on "
             "/v1/responses", 0),
    _refused("t_max_predict_ms t_max_prompt_ms", _TEXT, "answers are limited by tokens", -1, 0),
    _refused("n_indent", _TEXT, "answers are limited by tokens", 0),
    _refused("truncate_prompt_tokens", (*_TEXT, *_POOLED), _NEVER_CUT),
    _harmless("truncation_side", (*_TEXT, *_POOLED), "read only with truncate_prompt_tokens"),
    _harmless("n_keep n_discard", _TEXT, _NEVER_CUT),
    _refused("n_cmpl", _TEXT, "its name is n here", 1),
    # What else the answer tells.
    _refused("prompt_logprobs", _TEXT, "use echo with logprobs on /v1/completions"),
    _refused("n_probs post_sampling_probs", _TEXT, "use logprobs", 0, False),
    _refused("logprob_token_ids", _TEXT, _NOT_TOLD),
    _refused(
        "return_tokens return_token_ids return_tokens_as_token_ids return_progress "
        "return_prompt_text timings_per_token response_fields verbose",
        _TEXT, _NOT_TOLD, False, [],
    ),
    _harmless("return_token_offsets return_mm_kwargs routed_experts_prompt_start", _TEXT,
              "vLLM itself reads it on other routes only"),
    _refused("skip_special_tokens spaces_between_special_tokens parse_tool_calls", _TEXT,
             "control tokens are never part of a text", True),
    # Reasoning.
    _refused("enable_thinking think thinking", _TEXT,
             'use chat_template_kwargs {"enable_thinking": …} or reasoning_effort "none"'),
    _refused("reasoning", _PLAIN, "use reasoning_effort"),
    _refused("include_reasoning", _TEXT, "reasoning is always given, apart from the answer", True),
    _refused("reasoning_format", _TEXT, "reasoning is always given, apart from the answer",
             "auto", "deepseek"),
    _refused(
        "thinking_token_budget thinking_budget_tokens reasoning_budget reasoning_budget_tokens "
        "reasoning_budget_message",
        _TEXT, "reasoning has no limit of its own", -1, "",
    ),
    # The prompt.
    _refused("chat_template template", (*_TEXT, "tokenize"), _SIGNED),
    _refused("add_generation_prompt", (*_TEXT, "tokenize"), _BEGUN, True),
    _refused("continue_final_message prefix raw", (*_TEXT, "tokenize"), _BEGUN, False, ""),
    _refused("add_special_tokens", _TALKS, "the template writes the begin token", False),
    _refused("add_special_tokens", _COMPLETIONS, "a prompt gets its begin token", True),
    _refused("system context", _TEXT, "send messages, or instructions on /v1/responses", "", []),
    _refused("options", (*_TEXT, *_POOLED), "send its members as fields of the body", {}),
    # Of one route on another.
    _refused("best_of", _CHAT, "only /v1/completions ranks choices; use n", 1),
    _refused("echo", _CHAT, "only /v1/completions repeats the prompt", False),
    _refused("prompt", _CHAT, "send messages", "", []),
    _refused("tools", _COMPLETIONS, _ONLY_CHAT, []),
    _refused("tool_choice", _COMPLETIONS, _ONLY_CHAT, "none", "auto"),
    _refused("chat_template_kwargs", _COMPLETIONS, "only chats use the template", {}),
    _refused("top_logprobs", _COMPLETIONS, "completions take the number as logprobs", 0),
    _refused("messages", ("completions", "responses"),
             "use /v1/chat/completions, or input on /v1/responses", []),
    _harmless("parallel_tool_calls reasoning_effort", _COMPLETIONS,
              "without tools and a template there is nothing to decide"),
    _refused("stop", _RESPONSES, _OTHER_ROUTE, [], ""),
    _refused("n best_of", _RESPONSES, _OTHER_ROUTE, 1),
    _refused("max_tokens max_completion_tokens", _RESPONSES, "its name is max_output_tokens here"),
    _refused("min_tokens presence_penalty frequency_penalty min_p top_logprobs", _RESPONSES,
             _OTHER_ROUTE, 0),
    _refused("top_k", _RESPONSES, _OTHER_ROUTE, 0, -1),
    _refused("repetition_penalty repeat_penalty typical_p", _RESPONSES, _OTHER_ROUTE, 1),
    _refused("ignore_eos echo logprobs", _RESPONSES, _OTHER_ROUTE, False),
    _refused("seed", _RESPONSES, _OTHER_ROUTE),
    _refused("logit_bias", _RESPONSES, _OTHER_ROUTE, {}),
    _refused("response_format", _RESPONSES, "use text.format", {"type": "text"}),
    _refused(
        "json_schema guided_json guided_regex guided_choice guided_grammar grammar",
        _RESPONSES, "use text.format",
    ),
    _refused("reasoning_effort", _RESPONSES, "use reasoning.effort"),
    _refused("chat_template_kwargs", _RESPONSES, "use reasoning.effort", {}),
    _refused("functions function_call", _RESPONSES, _OLD_TOOLS, [], "none", "auto"),
    _refused("service_tier", _RESPONSES, "the key decides how urgent it is", "auto", "default"),
    # Of a store.
    _refused("previous_response previous_input_messages", _RESPONSES, "use previous_response_id"),
    _refused("background_options", _RESPONSES, "background is true or false",
             False),
    _refused("prompt", _RESPONSES, "templates of prompts are not kept here"),
    _refused("include", _RESPONSES, "there is nothing more to tell", [],
             ["reasoning.encrypted_content"]),
    _refused("truncation", _RESPONSES, "a conversation is never cut silently", "disabled"),
    _refused("context_management", _RESPONSES, "a conversation is never cut silently", []),
    _refused("max_tool_calls access_programs", _RESPONSES, "no tools run on the server", []),
    _refused("enable_response_messages", _RESPONSES, _NOT_TOLD, False),
    # Vectors and scores.
    _refused("normalize", _EMBED, "vectors always have the length 1", True),
    _refused("embd_normalize", _EMBED, "vectors always have the length 1", 2),
    _refused("use_activation", _VECTORS, "vectors have the length 1, scores are from 0 to 1", True),
    _refused("raw_scores", _RANK, "scores are from 0 to 1", False),
    _refused("embed_dtype", _EMBED, "vectors are 32-bit floats", "float32"),
    _refused("endianness", _EMBED, "base64 is little-endian", "little", "native"),
    _refused("truncate", _POOLED, _NEVER_CUT, False, "NONE"),
    _refused("max_tokens_per_doc max_chunks_per_doc overlap_tokens", _RANK, _NEVER_CUT),
    _refused("rank_fields", _RANK, "a document is one text", [], ["text"]),
    _refused("texts", _RANK, "its name is documents here"),
    _refused("return_text", _RANK, "its name is return_documents here", False),
    _refused("messages content prompt texts", (*_EMBED, *_CLASSIFY), "its name is input here"),
    _refused("input_type task prompt_name instruction", _VECTORS,
             "put what the model wants before a text into the text itself", ""),
    _refused("images image", _POOLED, _TEXT_ONLY, []),
    _refused("padding", _POOLED, "texts are not padded", "do_not_pad"),
    _refused("add_special_tokens", _EMBED, "a text gets its begin token", True),
    _refused("chat_template", _POOLED, _SIGNED),
    # Labels.
    _refused("use_activation normalize softmax activation", _CLASSIFY,
             "probabilities always add up to 1", True),
    _refused("add_special_tokens", _CLASSIFY, _OF_THE_TASK, True),
    _refused("add_generation_prompt continue_final_message", _CLASSIFY, _OF_THE_TASK, False),
    _refused("chat_template_kwargs", _CLASSIFY, _OF_THE_TASK, {}),
    _refused("input_type task prompt_name instruction", _CLASSIFY, _OF_THE_TASK, ""),
    _refused("stream", _CLASSIFY, "the answer is one document", False),
    _refused("content", ("tokenize",), "its name is prompt here"),
    _refused("add_special", ("tokenize",), "its name is add_special_tokens here"),
    _refused("parse_special", ("tokenize",), "a prompt may spell control tokens", True),
    _refused("with_pieces", ("tokenize",), "its name is return_token_strs here", False),
    # Anthropic's messages.
    _refused("stop", _MESSAGES, "its name is stop_sequences here", [], ""),
    _refused("max_completion_tokens max_output_tokens", _MESSAGES, "its name is max_tokens here"),
    _refused("n", _MESSAGES, _OTHER_ROUTE, 1),
    _refused("min_p presence_penalty frequency_penalty", _MESSAGES, _OTHER_ROUTE, 0),
    _refused("repetition_penalty", _MESSAGES, _OTHER_ROUTE, 1),
    _refused("seed logit_bias logprobs", _MESSAGES, _OTHER_ROUTE, {}, False),
    _refused("response_format output_format", _MESSAGES, "use output_config.format",
             {"type": "text"}),
    _refused("reasoning_effort", _MESSAGES, "use thinking"),
    _refused("functions function_call", _MESSAGES, _OLD_TOOLS, [], "none", "auto"),
    _refused("container mcp_servers", _MESSAGES, "no tools run on the server", []),
    _refused("context_management", _MESSAGES, "a conversation is never cut silently", [], {}),
    _harmless("cache_control", _MESSAGES,
              "what a prompt shares with earlier ones of the key is always kept"),
    _harmless("inference_geo", _MESSAGES, "answers are computed here"),
    _harmless("service_tier speed", _MESSAGES, "the key decides"),
    _harmless("diagnostics", _MESSAGES, "a hint for Anthropic's own cache"),
    # Elements of messages.
    _refused("function_call", ("message",), _OLD_TOOLS),
    _refused("audio images", ("message",), "models read text only", []),
    _refused("prefix", ("message",), _BEGUN, False),
    # What changes no answer.
    _harmless(
        "user safety_identifier", _EVERY,
        "the audit log has them as a claim of the app; a route may tell groups of requests by them",
    ),
    _harmless("metadata", ("chat", "completions", *_POOLED), "nothing is stored"),
    _harmless("store", _PLAIN, "only responses are stored"),
    _harmless("verbosity", _TEXT, "a hint for OpenAI's own models"),
    _harmless("prediction", _TEXT, "it makes answers faster, not different"),
    _harmless(
        "prompt_cache_key prompt_cache_options prompt_cache_retention cache_salt cache_prompt "
        "n_cache_reuse",
        _EVERY, "what a prompt shares with earlier ones of the key is always kept",
    ),
    _harmless("id_slot session_id", _EVERY, "the scheduler chooses the slot"),
    _harmless("request_id", _EVERY, "x-request-id names the request"),
    _harmless("priority", _EVERY, "the key decides, and service_tier"),
    _harmless("keep_alive", _EVERY, "the configuration says how long a model stays loaded"),
    _harmless("service_tier", _POOLED, "the key decides"),
    _harmless("stream_options", _RESPONSES, "a stream here always tells the counts"),
    _harmless("stream_interval sse_ping_interval", _TEXT, "it changes the pace of a stream only"),
    _harmless(
        "backend_sampling reasoning_control speculative.type speculative.n_max speculative.n_min "
        "speculative.p_min speculative.ngram_size_n speculative.ngram_size_m "
        "speculative.ngram_min_hits",
        _TEXT, "how an answer is computed, not what it says",
    ),
    _harmless("media_io_kwargs mm_processor_kwargs", _EVERY, "read only with pictures or sound"),
)  # fmt: skip


def refused(route: Route) -> dict[str, Unsupported]:
    """The fields that a route refuses."""
    return {
        name: Unsupported(absent(*row.defaults), row.reason)
        for row in TABLE
        if row.defaults is not None and route in row.routes
        for name in row.names
    }


def harmless(route: Route) -> frozenset[str]:
    """The fields that change no answer of a route."""
    rows = (row for row in TABLE if row.defaults is None and route in row.routes)
    return frozenset(name for row in rows for name in row.names)


REFUSED: Final[Mapping[Route, Mapping[str, Unsupported]]] = {
    route: refused(route) for route in get_args(Route)
}
HARMLESS: Final[Mapping[Route, frozenset[str]]] = {route: harmless(route) for route in REFUSED}


class RequestBody(BaseModel):
    """The body of a route, which refuses fields of it that are not honoured."""

    route: ClassVar[Route]

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, data: Any) -> Any:
        refuse_spellings(data, cls.model_fields, REFUSED[cls.route])
        return refuse_unsupported(data, REFUSED[cls.route])
