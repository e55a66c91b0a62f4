;; The neighbour of every fixture: answers that its event is done.
;;@frame event
