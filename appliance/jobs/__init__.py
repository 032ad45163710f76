"""Long work: states, progress, pause, resume after a crash, cancel, result.

How to add a kind of job:

1. Subclass `jobs.kind.JobKind[P, R]` in the package that does the work. P is a struct of its
   parameters, also set as `form`; R is the form of its result, listed in
   `wire.admin.results.FORMS`. Set `name`, `unit`, `role`, and as they apply `heavy`, `resumable`,
   `read_only`.
2. `check(params)` refuses parameters before anything is stored.
3. `title(params)` names the job in lists.
4. `needs(params)` is the memory in bytes that a heavy job takes from the models' budget.
5. `async def run(self, job)` does the work and returns the result. Blocking code runs as
   `await job.in_thread(function, …)`; a child process first calls `jobs.priority.lower()`.
6. Call `job.report(phase, done, total)`, or `job.check()`, often, where the work may stop: it
   raises `Stop`, which passes, when somebody pauses or cancels the job, or the server ends.
7. A resumable kind calls `job.save(checkpoint)` with a JSON object after each part that need not
   be done again, and begins at `job.checkpoint`, None the first time.
8. Register an instance with `Jobs.add`; `await jobs.start("name", params, actor)` starts it, and
   `await live.outcome()` is its result.
"""
