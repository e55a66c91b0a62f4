;; Answers, and loops for ever when the host lets it clean up.
;;@frame event
;;@post-return
(loop $for_ever (br $for_ever))
