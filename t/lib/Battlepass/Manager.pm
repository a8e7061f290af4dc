# A service manager for one battlepassd, which does what systemd does by sd_listen_fds(3) and sd_notify(3): it makes the lanes'
# sockets and keeps them while the daemon comes and goes, passes them by name, and listens to what the daemon says. For tests
# where no systemd is process 1.
package Battlepass::Manager;

use strict;
use warnings;

use Carp qw(croak);
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(SOCK_DGRAM SOCK_STREAM);
use Time::HiRes qw(sleep time);

# folder: of the sockets, NAME.sock each. command: the daemon and its arguments. log: a file that its stderr is added to.
sub new {
    my ($class, %self) = @_;
    my $self = bless { watchdog_s => 30, unread => [], %self }, $class;
    $self->{lanes} = { map { $_ => $self->_listen("$self->{folder}/$_.sock") } qw(read store purchase admin) };
    unlink "$self->{folder}/notify.sock";
    $self->{notify} = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "$self->{folder}/notify.sock") or croak "notify.sock: $!";
    return $self;
}

sub _listen {
    my ($self, $path) = @_;
    unlink $path;
    my $before = umask 0117;
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Local => $path, Listen => 4096) or croak "$path: $!";
    umask $before;
    return $socket;
}

sub pid { return $_[0]{pid} }

sub launch {
    my ($self) = @_;
    my $pid = fork // croak "fork: $!";
    $self->_be_daemon if $pid == 0;
    $self->{pid} = $pid;
    return;
}

# Until it says that it is ready.
sub start {
    my ($self) = @_;
    $self->launch;
    return $self->await('READY=1');
}

# The passed descriptors are those from 3 on, in the order of their names.
sub _be_daemon {
    my ($self) = @_;
    my @names = sort keys %{ $self->{lanes} };
    my @parked = map { POSIX::dup(fileno $self->{lanes}{$_}) } @names;
    my @far = map { my $fd = $_; my $to = 100 + $fd; POSIX::dup2($fd, $to); $to } @parked;
    POSIX::setsid();
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $self->{log};
    open STDERR, '>&', \*STDOUT;
    POSIX::dup2($far[$_], 3 + $_) for 0 .. $#far;
    POSIX::close($_) for 3 + @far .. 250;
    %ENV = (%ENV, LISTEN_PID => $$, LISTEN_FDS => scalar @names, LISTEN_FDNAMES => join(':', @names),
        NOTIFY_SOCKET => "$self->{folder}/notify.sock", WATCHDOG_USEC => 1_000_000 * $self->{watchdog_s}, WATCHDOG_PID => $$);
    exec { $self->{command}[0] } @{ $self->{command} } or POSIX::_exit(127);
}

# What the daemon said since the last look, one assignment each.
sub told {
    my ($self) = @_;
    my @told = splice @{ $self->{unread} };
    while (1) {
        my $ready = '';
        vec($ready, fileno $self->{notify}, 1) = 1;
        last if !select $ready, undef, undef, 0;
        defined $self->{notify}->recv(my $text, 4096) or last;
        push @told, split /\n/, $text;
    }
    return @told;
}

# True once it has said so; false when it has ended or 20 s have passed.
sub await {
    my ($self, $what) = @_;
    my $until = time + 20;
    while (time < $until) {
        return 1 if grep { $_ eq $what } $self->told;
        return 0 if $self->ended;
        sleep 0.005;
    }
    return 0;
}

sub ended {
    my ($self) = @_;
    return 1 if !$self->{pid};
    return 0 if waitpid($self->{pid}, POSIX::WNOHANG()) != $self->{pid};
    $self->{status} = $?;
    $self->{pid} = undef;
    return 1;
}

sub signal {
    my ($self, $signal) = @_;
    return kill $signal, $self->{pid} // croak 'it does not run';
}

# The exit status (waitpid's), or undef when it did not end within 40 s.
sub stop {
    my ($self) = @_;
    $self->signal('TERM');
    my $until = time + 40;
    until ($self->ended || time > $until) {
        push @{ $self->{unread} }, $self->told; # who tells waits when nobody listens
        sleep 0.005;
    }
    return $self->{pid} ? undef : $self->{status};
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!);
    kill 'KILL', $self->{pid} and waitpid $self->{pid}, 0 if $self->{pid};
    return;
}

1;
