"""``GET`` and ``DELETE /users/{user}``: what is stored about a user."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from starlette.requests import Request

from seqrec.serving.answers import ERRORS, StatusAnswer, UserAnswer
from seqrec.serving.context import Context, JsonResponse
from seqrec.serving.errors import refuse
from seqrec.serving.field_types import User

UserPath = Annotated[User, Path(description="The user's id.")]


def build_user_routes(context: Context) -> APIRouter:
    """Return the routes of stored histories; a server without a store has none."""
    router = APIRouter(tags=["users"], responses=ERRORS)
    users = context.users
    if users is None:
        return router

    @router.get("/users/{user}", response_model=UserAnswer)
    async def read(user: UserPath) -> Any:
        """Show the stored history of a user."""
        return JsonResponse({"user": user, "history": await users.read(user)})

    @router.delete("/users/{user}", response_model=StatusAnswer)
    async def delete(user: UserPath, request: Request) -> Any:
        """Delete everything that is stored about a user."""
        if not await users.delete(user):
            return refuse(request, 404, "user: nothing is stored")
        return JsonResponse({"status": "deleted"})

    return router
