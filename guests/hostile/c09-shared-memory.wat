;; Declares a memory that threads could share.
;;@frame event
;;@core
(memory $shared 1 1 shared)
