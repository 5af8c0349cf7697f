"""The studio in the browser: its server side. The page is in static/, built from web/.

schema          what the page sends and gets; web/studio/schema.json is written from it
routes, app     the addresses; all that write or start something are below /api/act/. The models answer at /v1 as
                homespun serve does, where a run is named as /api/runs names it
"""
