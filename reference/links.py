"""What may stand as a link in what people sign or cite. Knows no report."""

from urllib.parse import urlsplit


def plain_address(link: str) -> bool:
    """Tell whether it is a plain web address, without a user's name: a report shows it to people who click."""
    try:
        parts = urlsplit(link)
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
    return named and link.isprintable() and " " not in link
