"""What is sent to an OpenAI-compatible server, and how its reply is read."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from vlm_itl.judges.prompts import Question, schema
from vlm_itl.judges.views import data_url

# How a server is told to answer in JSON.
Structured = Literal["json_schema", "json_object", "none"]
# What a server calls the limit of an answer; hosted models refuse the older name.
LimitName = Literal["max_tokens", "max_completion_tokens"]
MOST_TOKENS = 10**9  # of a request; a larger count is none


# ---- the request


def chat_request(
    question: Question,
    messages: list[dict[str, Any]],
    model: str,
    structured: Structured,
    limit_name: LimitName,
    answer_tokens: int | None,
    temperature: float | None,
) -> dict[str, Any]:
    """Return the arguments of `chat.completions.create`; what is None is left to the server."""
    request = {
        "model": model,
        "messages": messages,
        limit_name: answer_tokens,
        "temperature": temperature,
        "response_format": response_format(structured, question),
    }
    return {name: value for name, value in request.items() if value is not None}


def message_parts(question: Question) -> list[dict[str, Any]]:
    """Return the words and pictures of a question as the parts of a chat message."""
    parts: list[dict[str, Any]] = [{"type": "text", "text": question.text}]
    for title, image in question.images():
        url = data_url(image, question.look.format)
        parts.append({"type": "text", "text": title})
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return parts


def response_format(structured: Structured, question: Question) -> dict[str, Any] | None:
    """Return what the server is told about the form of its answer."""
    if structured == "none":
        return None
    if structured == "json_object":
        return {"type": "json_object"}
    model = question.answer_model
    return {
        "type": "json_schema",
        "json_schema": {"name": model.__name__, "strict": True, "schema": schema(model)},
    }


# ---- the reply


def joined(content: Any) -> Any:
    """Return the words of a message that comes as a list of parts; other content as it is."""
    if not isinstance(content, list):
        return content
    parts = [part.get("text") if isinstance(part, dict) else part for part in content]
    return "".join(part for part in parts if isinstance(part, str))


def counted(number: Any) -> int | None:
    """Return a count of tokens, None where a server sent something else for it."""
    is_count = isinstance(number, int) and not isinstance(number, bool)
    return number if is_count and 0 <= number <= MOST_TOKENS else None


class Message(BaseModel):
    """The part of a chat completion that holds the model's words."""

    content: Annotated[str | None, BeforeValidator(joined)] = None
    refusal: str | None = None


class Choice(BaseModel):
    """One of the answers in a chat completion."""

    message: Message
    finish_reason: str | None = None


class Counts(BaseModel):
    """The tokens of a chat completion; servers leave out what they didn't count."""

    prompt_tokens: Annotated[int | None, BeforeValidator(counted)] = None
    completion_tokens: Annotated[int | None, BeforeValidator(counted)] = None


def as_counts(usage: Any) -> Any:
    """Return the usage of a completion, None where it is no table of counts."""
    return usage if isinstance(usage, dict) else None


class Completion(BaseModel):
    """A chat completion, as far as it is read here."""

    choices: list[Choice] = Field(min_length=1)
    usage: Annotated[Counts | None, BeforeValidator(as_counts)] = None


def read_completion(body: str) -> Completion:
    """Return the chat completion in the body of a reply; ValueError where it is none."""
    try:
        return Completion.model_validate_json(body)
    except ValidationError as error:
        raise ValueError("the reply isn't a chat completion") from error
