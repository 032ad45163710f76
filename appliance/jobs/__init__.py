"""Long work: states, progress, pause, resume after a crash, cancel, result.

How to add a kind of job:

1. Write a subclass of `jobs.kind.JobKind[P, R]` in the package that does the work. P is a struct of
   its parameters, also set as `form`; R is the form of its result, listed in
   `wire.admin.results.FORMS`. Set `name`, `unit`, `role`, and as they apply `heavy`, `resumable`,
   `read_only`.
2. `check(params)` refuses parameters before anything is stored; those of another form were refused
   with `malformed`.
3. `title(params)` names the job in a few words, for lists.
4. `needs(params)` is the memory in bytes that a heavy job takes from the budget of the models;
   idle models make room for it.
5. `async def run(self, job)` does the work and returns the result. Blocking code
   runs as `await job.in_thread(function, …)`; a child process first calls
   `jobs.priority.lower()`.
6. Call `job.report(phase, done, total)` often, at points where the work may stop: it raises
   `Stop` when somebody pauses or cancels the job, or the server ends. `job.check()` does the
   same without a report. Let `Stop` pass.
7. A resumable kind calls `job.save(checkpoint)` with a JSON object after each part that need not
   be done again, and begins at `job.checkpoint`, which is None the first time.
8. Register an instance with `Jobs.add`, and start it with
   `live = await jobs.start("name", params, actor)`; `await live.outcome()` is its result.
"""
