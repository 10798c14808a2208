"""Uploading a model folder to a model hub: weights, tokenizer, items and card."""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from seqrec.arguments import check_arguments
from seqrec.errors import SeqRecError, first_line
from seqrec.models.folder import ITEMS_FILE, is_unfinished

CARD_FILE = "README.md"
UPLOADED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", ITEMS_FILE, CARD_FILE)
"""Files of a model folder; others stay where they are."""


class HubFolder:
    """A model that was read from a folder, which can be uploaded."""

    folder: Path | None
    """The folder; None for a model in memory alone."""

    @check_arguments
    def push_to_hub(
        self,
        repository: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        message: str = "Upload a seqrec model",
        api: Any = None,
    ) -> str:
        """Upload the model folder with its items and its card; return the commit's address.

        Args:
            repository: ``USER/NAME``, made if it is missing.
            private: of a new repository; None: the account's default.
            token: of the account; None: the one that ``hf auth login`` keeps.
            message: of the commit.
            api: a client like ``huggingface_hub.HfApi``; None: one that uses the token.

        Raises:
            SeqRecError: a model in memory alone, an unfinished run, or a hub that cannot be reached
                or refuses.
        """
        folder = self.folder
        if folder is None:
            raise SeqRecError("push_to_hub: the model is in no folder; make one with seqrec.train")
        if is_unfinished(folder):
            raise SeqRecError(f"{folder}: is not finished; finish the run with --resume first")
        hub = HfApi(token=token) if api is None else api
        try:
            hub.create_repo(repository, private=private, exist_ok=True)
            commit = hub.upload_folder(
                repo_id=repository,
                folder_path=str(folder),
                commit_message=message,
                allow_patterns=list(UPLOADED),
            )
        except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
            raise SeqRecError(
                f"{repository}: the hub cannot be reached or refuses: {first_line(error)}; check "
                "the name, the token and the network"
            ) from error
        return str(getattr(commit, "commit_url", commit))
