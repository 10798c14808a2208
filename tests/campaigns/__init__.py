"""Campaigns: thousands of seeded cases, each with a known right answer or one clear error.

A campaign is a module with a judge: ``judge(generator, folder)`` makes one case from the
generator, runs it in an empty folder, and returns a ``Verdict``. Its ``main`` hands the judge to
``runner.main``. The suite runs a few dozen cases of each campaign (``test_campaigns.py``);
``make campaign`` runs the long ones, for example

    python -m tests.campaigns.logs --cases 3000 --seed 0

A verdict is ``right``, ``refused`` (one ``SeqRecError`` line), ``wrong`` or ``traceback``; the
last two fail the campaign.
"""
