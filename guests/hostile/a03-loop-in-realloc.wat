;; Loops for ever when the host asks for room for the event.
;;@frame event
;;@realloc
(loop $for_ever (br $for_ever))
