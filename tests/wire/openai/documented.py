"""The fields of a request that other servers document, by route.

OpenAI's come from the types of its SDK; the others were read in their sources, of August 2026:
vLLM `entrypoints/openai/*/protocol.py` and `entrypoints/pooling/*/protocol.py`; llama.cpp
`tools/server/server-schema.cpp`, `server-common.cpp` and README; Ollama `docs/api.md`,
`docs/openai.md`. The last group are those of other rerankers and of clients' own.
"""

from typing import Any

from openai.types import completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.responses import response_create_params

_VLLM_SAMPLING = (
    "use_beam_search top_k min_p repetition_penalty watermarking length_penalty stop_token_ids "
    "include_stop_str_in_output ignore_eos min_tokens skip_special_tokens "
    "spaces_between_special_tokens truncate_prompt_tokens truncation_side prompt_logprobs "
    "logprob_token_ids allowed_token_ids bad_words thinking_token_budget structured_outputs "
    "structural_tag priority request_id session_id return_tokens_as_token_ids return_token_ids "
    "routed_experts_prompt_start return_token_offsets return_mm_kwargs cache_salt "
    "kv_transfer_params ec_transfer_params vllm_xargs repetition_detection stream_interval "
    "add_special_tokens guided_json guided_regex guided_choice guided_grammar "
)
_VLLM_CHAT = (
    "include_reasoning reasoning_effort echo add_generation_prompt continue_final_message "
    "documents chat_template chat_template_kwargs media_io_kwargs mm_processor_kwargs "
    "return_prompt_text parallel_tool_calls user response_format logprobs top_logprobs "
)
_LLAMA = (
    "adaptive_decay adaptive_target backend_sampling cache_prompt continue_final_message "
    "dry_allowed_length dry_base dry_multiplier dry_penalty_last_n dry_sequence_breakers "
    "dynatemp_exponent dynatemp_range echo frequency_penalty grammar grammar_lazy grammar_triggers "
    "grammar_type id_slot ignore_eos json_schema logit_bias logprobs lora max_tokens min_keep "
    "min_p mirostat mirostat_eta mirostat_tau n n_cache_reuse n_cmpl n_discard n_indent n_keep "
    "n_predict n_probs parse_tool_calls post_sampling_probs presence_penalty preserved_tokens "
    "reasoning_budget_message reasoning_budget_tokens reasoning_control reasoning_format "
    "repeat_last_n repeat_penalty response_fields return_progress return_tokens samplers seed "
    "speculative.n_max speculative.n_min speculative.ngram_min_hits speculative.ngram_size_m "
    "speculative.ngram_size_n speculative.p_min speculative.type sse_ping_interval stop stream "
    "stream_options t_max_predict_ms t_max_prompt_ms temperature timings_per_token top_k "
    "top_n_sigma top_p typical_p verbose xtc_probability xtc_threshold stop_sequences "
)
_OLLAMA = (
    "format options system template raw keep_alive context images suffix think num_predict stream "
)
_ANTHROPIC = (
    "model messages max_tokens system stop_sequences stream temperature top_k top_p metadata "
    "tools tool_choice thinking output_config cache_control container diagnostics inference_geo "
    "service_tier speed mcp_servers context_management output_format "
    "stop n seed logit_bias logprobs min_p presence_penalty frequency_penalty repetition_penalty "
    "response_format max_completion_tokens max_output_tokens reasoning_effort functions "
    "function_call "
)
"""Of its SDK 2.14, and what clients of the other API send."""
_OTHERS = "max_new_tokens prefix enable_thinking thinking image_data "

DOCUMENTED: dict[str, set[str]] = {
    "chat": {
        *chat_create_params.CompletionCreateParamsBase.__annotations__,
        *chat_create_params.CompletionCreateParamsStreaming.__annotations__,
        *_VLLM_SAMPLING.split(), *_VLLM_CHAT.split(), *_LLAMA.split(), *_OLLAMA.split(),
        *_OTHERS.split(), "add_generation_prompt", "chat_template_kwargs", "documents",
        "thinking_budget_tokens", "reasoning",
    },
    "completions": {
        *completion_create_params.CompletionCreateParamsBase.__annotations__,
        *completion_create_params.CompletionCreateParamsStreaming.__annotations__,
        *_VLLM_SAMPLING.split(), *_LLAMA.split(), *_OLLAMA.split(), *_OTHERS.split(),
        "prompt_embeds", "response_format", "input_prefix", "input_suffix", "input_extra",
    },
    "responses": {
        *response_create_params.ResponseCreateParamsBase.__annotations__,
        *response_create_params.ResponseCreateParamsStreaming.__annotations__,
        *_OTHERS.split(), "logit_bias", "top_k", "skip_special_tokens", "request_id",
        "include_stop_str_in_output", "mm_processor_kwargs", "priority", "cache_salt",
        "enable_response_messages", "previous_input_messages", "previous_response",
        "structured_outputs", "repetition_penalty", "seed", "stop", "ignore_eos", "vllm_xargs",
        "n", "max_tokens", "max_completion_tokens", "min_p", "presence_penalty",
        "frequency_penalty", "repeat_penalty", "logprobs", "response_format", "json_schema",
        "guided_json", "guided_regex", "guided_choice", "guided_grammar", "bad_words",
        "allowed_token_ids", "mirostat", "dry_multiplier", "xtc_probability", "n_predict",
        "messages", "chat_template_kwargs", "reasoning_effort",
    },
    "messages": set(_ANTHROPIC.split()),
    "embeddings": {
        *embedding_create_params.EmbeddingCreateParams.__annotations__,
        "truncate_prompt_tokens", "padding", "truncation_side", "request_id", "priority",
        "mm_processor_kwargs", "cache_salt", "add_special_tokens", "embed_dtype", "endianness",
        "use_activation", "normalize", "messages", "chat_template", "media_io_kwargs",
        "embd_normalize", "content", "truncate", "options", "keep_alive", "prompt", "input_type",
    },
    "rerank": {
        "model", "query", "documents", "top_n", "return_documents", "max_tokens_per_doc",
        "raw_scores", "return_text", "texts", "truncate", "rank_fields", "max_chunks_per_doc",
        "overlap_tokens", "truncate_prompt_tokens", "truncation_side", "request_id", "priority",
        "mm_processor_kwargs", "cache_salt", "use_activation", "user", "instruction",
    },
    "classify": {
        "model", "input", "user", "truncate_prompt_tokens", "padding", "truncation_side",
        "request_id", "priority", "mm_processor_kwargs", "cache_salt", "add_special_tokens",
        "use_activation", "messages", "add_generation_prompt", "continue_final_message",
        "chat_template", "chat_template_kwargs", "media_io_kwargs", "normalize", "task",
        "softmax", "activation", "stream",
    },
    "tokenize": {
        "model", "prompt", "messages", "tools", "add_special_tokens", "return_token_strs",
        "add_generation_prompt", "continue_final_message", "chat_template",
        "chat_template_kwargs", "content", "add_special", "parse_special", "with_pieces",
    },
}  # fmt: skip

BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}),
    "completions": ("/v1/completions", {"prompt": "Hi"}),
    "responses": ("/v1/responses", {"input": "Hi"}),
    "messages": (
        "/v1/messages",
        {"max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
    ),
    "embeddings": ("/v1/embeddings", {"input": "Hi"}),
    "rerank": ("/v1/rerank", {"query": "Hi", "documents": ["Hello"]}),
    "classify": ("/v1/classify", {"input": "Hi"}),
    "tokenize": ("/tokenize", {"prompt": "Hi"}),
}
"""The address and the smallest body of each route, without a model."""
