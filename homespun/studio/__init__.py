"""The studio in the browser: its server side. The page is in static/, built from web/.

schema          what the page sends and gets; web/studio/schema.json is written from it
routes, app     the addresses; all that write or start something are below /api/act/. The models answer at /v1 as
                homespun serve does, where a run is named as /api/runs names it
guard           the session: a token for a cookie, and homespun serve's rules; static_files: the page
places          paths below the folder, and no others; uploads, text_list: texts that can be chosen
tail, run_files, run_summary, run_list, run_details    what runs say, read from their folders
watching        the same as a stream of events
processes, command_lines, jobs, acting    trainings and other work, as processes of their own
reports, inside, measured, models    what commands print, and what models have inside, as the page gets it
state, serving  all of it together; the process
"""
