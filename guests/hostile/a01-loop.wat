;; Loops for ever in the handler.
;;@frame event
;;@handle
(loop $for_ever (br $for_ever))
