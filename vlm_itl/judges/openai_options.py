"""The options of the judge behind an OpenAI-compatible server."""

from pydantic import Field

from vlm_itl.judges.cached_judge import AskOptions
from vlm_itl.judges.openai_messages import MOST_TOKENS, LimitName, Structured

HOSTED = "https://api.openai.com/v1"  # the client's own default


class OpenAIOptions(AskOptions):
    """The options of this judge, besides those of every judge that asks a model."""

    base_url: str | None = Field(
        default=None,
        description="the server, http://host:port/v1; null: the client's default, a hosted service",
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY", description="the environment variable that holds the key"
    )
    budget_name: str = Field(
        default="default",
        description="spending is counted under this name in the cache, over runs and processes",
    )
    call_budget: int | None = Field(
        default=1000,
        ge=0,
        le=10**9,
        description="at most so many requests, retries included; null: no limit",
    )
    token_budget: int | None = Field(
        default=None,
        ge=0,
        le=10**15,
        description="at most so many tokens, in prompts and answers; null: no limit",
    )
    tokens_per_call: int = Field(
        default=8192,
        ge=1,
        le=MOST_TOKENS,
        description=(
            "upper bound of one request's tokens; counted in full where the server doesn't tell"
        ),
    )
    answer_tokens: int | None = Field(
        default=512, ge=1, le=MOST_TOKENS, description="limit of one answer; null: the server's"
    )
    limit_name: LimitName | None = Field(
        default=None,
        description=(
            "what the server calls that limit; null: max_completion_tokens for the hosted "
            "service, max_tokens for a server of your own"
        ),
    )
    temperature: float | None = Field(
        default=0.0, ge=0, le=10, description="null: the server's, as some models take no other"
    )
    structured: Structured = Field(
        default="json_schema", description="strict; the others are for servers without it"
    )
    retries: int = Field(
        default=4,
        ge=0,
        le=100,
        description=(
            "more requests for a question after 408, 409, 429, 5xx, a timeout or a lost "
            "connection; OpenAI's client waits between them, as long as the server asks"
        ),
    )
    timeout: float = Field(
        default=60.0,
        gt=0,
        le=86400,
        description="seconds for one request, until the last byte of its reply",
    )
    concurrency: int = Field(default=4, ge=1, le=256, description="requests at a time")

    def name_of_limit(self, server: str) -> LimitName:
        """Return what a server calls the limit of an answer."""
        usual: LimitName = "max_completion_tokens" if server == HOSTED else "max_tokens"
        return self.limit_name or usual
